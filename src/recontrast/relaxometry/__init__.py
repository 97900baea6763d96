"""Relaxation times from signals, and signals from relaxation times: the physics around synthetic MRI."""

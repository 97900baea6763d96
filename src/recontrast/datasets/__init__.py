"""Prepared cases as samples for learning."""

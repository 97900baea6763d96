"""A whole paper as one file: directions x methods x loss weights x seeds, selection, evaluation, report."""

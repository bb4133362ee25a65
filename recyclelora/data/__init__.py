"""Files or seeds -> labelled images -> training batches."""

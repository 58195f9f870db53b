"""Networks that more than one chapter trains."""

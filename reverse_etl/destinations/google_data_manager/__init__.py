"""Google audiences through the Data Manager API."""

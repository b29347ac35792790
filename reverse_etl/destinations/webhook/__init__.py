"""Any HTTP endpoint that takes signed JSON."""

"""Reverse ETL: send what the warehouse knows to the tools that people work in. Plan, deliver, record."""

"""Guards tables with Great Expectations: one suite per table as YAML, run in the warehouse by `expectations.runner`."""

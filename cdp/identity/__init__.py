"""Identity outside dbt: looking into the graph, trying it on files, and probabilistic matching."""

"""What is asked of a Dagster deployment: its code locations, assets, partitions, runs."""

"""What is told of an export on an asset's page."""

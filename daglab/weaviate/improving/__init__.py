"""What makes collections better: seen, planned, carried out."""

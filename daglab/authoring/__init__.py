"""What daglab writes for a user: projects, notebooks, code."""

"""Scripts that run in another Python process: standard library, or what that Python has; nothing of daglab."""

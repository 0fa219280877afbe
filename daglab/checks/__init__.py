"""The checks of `daglab health`: a function each, and a row each in `running`."""

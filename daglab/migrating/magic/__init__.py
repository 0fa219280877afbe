"""IPython's own syntax as Python: magics, shell lines, installs, timings."""

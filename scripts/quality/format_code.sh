#!/bin/sh
# Formats the code, and mends what the linter can mend.
exec make -C "$(dirname "$0")/../.." format

#!/bin/sh
# Style, format and the written docs: seconds, and no tests. What pre-commit runs.
exec make -C "$(dirname "$0")/../.." lint docs

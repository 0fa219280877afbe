#!/bin/sh
# All that CI asks for on this machine's Python: checks, tests, coverage, the audit and the package.
exec make -C "$(dirname "$0")/../.." check coverage audit package

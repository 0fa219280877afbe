"""Runs of a test's Dagster begin as copies of a process that has imported Dagster, which takes two seconds otherwise.

Python imports this at its start, for the folder is in the PYTHONPATH of those deployments. It is for code servers
only: what they start by `spawn` is forked instead, from the server that `multiprocessing` keeps for that. `daglab dev`
and the matrix of Dagster's versions start Dagster without it.
"""

import sys

if {"api", "grpc"} <= set(sys.orig_argv):
    import multiprocessing
    from multiprocessing import context, popen_forkserver

    modules = ["dagster._grpc.server", "dagster._core.storage.runs.sqlite", "dagster._core.storage.event_log.sqlite"]
    multiprocessing.set_forkserver_preload(modules)
    context.SpawnProcess._Popen = staticmethod(popen_forkserver.Popen)

"""A model -> how fast each runtime is on this machine, and what that costs in accuracy.

`dashseg.bench.run.bench` does it. Nothing is imported here: each runtime is measured in a process
of its own, which is to hold what that runtime needs and no more.
"""

"""Segmenter -> HTTP: a service, a page to try a model on, and a desk to edit labels at.

FastAPI and uvicorn, of the extra "serve", are imported only by the modules of this package.
"""

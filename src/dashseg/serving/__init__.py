"""Segmenters -> HTTP: a service, a page to try a model on, a desk to mend labels at."""

"""Archives: many captures and recordings, verified by many processes, on this machine or on a Dask cluster."""

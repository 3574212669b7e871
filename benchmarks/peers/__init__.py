"""The same door written other ways: a bare handler, FastAPI + Mangum, Starlette + Mangum."""

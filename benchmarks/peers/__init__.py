"""The same endpoint written other ways: a bare handler, FastAPI + Mangum, Starlette + Mangum."""

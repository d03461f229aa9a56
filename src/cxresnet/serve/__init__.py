"""The model behind a page and a REST interface; the only room with FastAPI and uvicorn.

The server computes nothing itself: every answer is that of `cxresnet.load()`, `predict` and
`explain`. What stands here is what lies between them and a network: limits, queues, a guard, logs.
"""

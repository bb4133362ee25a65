test:
	.venv/bin/python -m pytest -q -m "not slow"

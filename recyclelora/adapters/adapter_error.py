"""The one exception of the adapters."""


class AdapterError(ValueError):
    """What was asked of an adapter cannot be had; one line saying why and what would be right."""

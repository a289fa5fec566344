"""No deadline for properties: a busy machine is no fault of the code."""

from hypothesis import settings

settings.register_profile("charrnn", deadline=None)
settings.load_profile("charrnn")

"""What holds for every test: no example of a property fails because the machine is busy."""

from hypothesis import HealthCheck, settings

# (Beyond what the profile in use says: in CI that is one whose examples are always the same.)
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

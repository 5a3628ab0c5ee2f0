from service.settings import Settings
from service.workers.seat import Seat


def settings_of(settings: Settings, seat: Seat) -> Settings:
    return settings

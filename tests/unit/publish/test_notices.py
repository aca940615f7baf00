from __future__ import annotations

from lsm_monitor.metrics import Metrics
from lsm_monitor.publish.notices import Notices
from lsm_monitor.types import OutboundMessage

REPLY = OutboundMessage("cmd/reply", b"{}", qos=1, retain=False)


def picture(camera: str) -> OutboundMessage:
    return OutboundMessage(f"camera/{camera}/snapshot", b"jpeg", qos=0, retain=True)


def test_a_picture_of_a_camera_that_is_switched_off_is_told_and_not_kept() -> None:
    """On MQTT 3.1.1, which knows no expiry, it would stay for ever."""
    notices = Notices(Metrics())
    notices.put(picture("bridge"))
    notices.put(picture("school"))
    notices.put(REPLY)
    notices.keep_on({picture("bridge").topic, REPLY.topic})  # the school while it waits
    told = notices.take(3)
    assert [(each.topic, each.payload) for each in told] == [
        ("camera/bridge/snapshot", b"jpeg"),
        ("camera/school/snapshot", b"jpeg"),
        ("cmd/reply", b"{}"),
    ]
    assert [each.retain for each in told] == [True, False, False]

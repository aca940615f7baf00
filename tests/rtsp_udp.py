"""A camera that sends its pictures over UDP, and a network that loses some of them."""

from __future__ import annotations

import re
import socket

from lsm_monitor.demo.clip import AccessUnit
from lsm_monitor.demo.rtsp_connection import RtspConnection
from lsm_monitor.demo.rtsp_wire import Request, Response
from tests.rtsp_faults import Behaviour


def over_udp(*, lose_one_in: int = 0) -> Behaviour:
    """Refuse TCP, and send UDP; of the packets every ``lose_one_in``-th is lost, 0 for none."""

    class OverUdp(RtspConnection):
        sent = 0

        def _set_up(self, request: Request) -> Response:
            transport = request.headers.get("transport", "")
            port = re.search(r"client_port=(\d+)", transport)
            if port is None:
                return Response(461)
            self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._udp.bind(("127.0.0.1", 0))
            self._udp.connect(("127.0.0.1", int(port[1])))
            self._channel = 0
            own = self._udp.getsockname()[1]
            ports = f"client_port={port[1]}-{int(port[1]) + 1};server_port={own}-{own + 1}"
            headers = {"Transport": f"RTP/AVP;unicast;{ports}", "Session": self._session_id}
            return Response(200, headers)

        async def send(self, unit: AccessUnit, pts_ticks: int) -> None:
            for packet in self.packets(unit, self._clock_base_ticks + pts_ticks):
                self.sent += 1
                if not lose_one_in or self.sent % lose_one_in:
                    self._udp.send(packet)

        async def _hang_up(self) -> None:
            try:
                await super()._hang_up()
            finally:  # a stop of the server cancels its waits
                if hasattr(self, "_udp"):
                    self._udp.close()

    return OverUdp

"""contiv-cni: the plugin that the kubelet runs for every pod. It relays the call to the agent and prints the answer.

It is run for every pod, so its start counts: it imports only what Python has loaded anyway, and the socket module's
core, and the script `contiv-cni` beside it runs it compiled, without a virtual environment. So gRPC is spoken by
hand, with one request on one HTTP/2 stream whose headers are literals (RFC 7540, 7541), and all JSON is read and
written by the agent. Without an agent the answer is the CNI error 11, "try again later".
"""

import _socket
import os
import sys

SOCKET = "/run/contiv/cni.sock"
DEADLINE = 30.0
CONNECT_ATTEMPTS = 50
CONNECT_PAUSE = 0.1
VERSIONS = ("0.3.1", "0.4.0", "1.0.0", "1.1.0")
TRY_AGAIN = 11
BAD_ENVIRONMENT = 4

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_WINDOW = 65535
_FRAME = 16384
_INITIAL_WINDOW_SIZE = 4


class AgentAway(Exception):
    """The agent does not answer; trying again later can help."""


def main():
    """Runs one call.

    Returns:
        The exit code: 0 well, 1 with an error object on standard output.
    """
    env = os.environ
    command = env.get("CNI_COMMAND", "")
    config = sys.stdin.buffer.read()
    if command == "VERSION":
        versions = ",".join('"%s"' % version for version in VERSIONS)
        _print(b'{"cniVersion":"%s","supportedVersions":[%s]}' % (_version_of(config), versions.encode()))
        return 0
    if not command:
        return _fail(config, BAD_ENVIRONMENT, "CNI_COMMAND is not set: this program is run by a container runtime")
    fields = (
        command,
        env.get("CNI_CONTAINERID", ""),
        env.get("CNI_NETNS", ""),
        env.get("CNI_IFNAME", ""),
        env.get("CNI_ARGS", ""),
        env.get("CNI_PATH", ""),
    )
    message = b"".join(_field(number + 1, os.fsencode(text)) for number, text in enumerate(fields) if text)
    message += _field(7, config)
    path = _text_in(config, b"grpcServer") or SOCKET
    try:
        code, output = _decode(_ask(path, message))
    except AgentAway as error:
        return _fail(config, TRY_AGAIN, "contiv-agent at %s: %s; is it running on this node?" % (path, error))
    _print(output)
    return code


# ---- protocol buffers


def _varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number, value):
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _decode(message):
    """The exit code (field 1) and the output (field 2) of a Result."""
    code, output, offset = 0, b"", 0
    try:
        while offset < len(message):
            tag, offset = _read_varint(message, offset)
            size, offset = _read_varint(message, offset)
            if tag == 8:
                code = size
            elif tag == 18:
                output = message[offset : offset + size]
                offset += size
            else:
                raise AgentAway("its answer has an unknown field")
    except IndexError:
        raise AgentAway("its answer is cut short") from None
    return code, output


def _read_varint(data, offset):
    number = shift = 0
    while True:
        byte = data[offset]
        offset += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, offset
        shift += 7


# ---- HTTP/2


def _frame(kind, flags, stream, payload):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header(name, value):
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


_REQUEST = b"".join(
    (
        _header(b":method", b"POST"),
        _header(b":scheme", b"http"),
        _header(b":path", b"/cni.RemoteCNI/Invoke"),
        _header(b":authority", b"localhost"),
        _header(b"content-type", b"application/grpc"),
        _header(b"te", b"trailers"),
    )
)


def _connect(path):
    """A connection to the agent; one that is just starting gets some seconds."""
    from time import sleep

    for attempt in range(CONNECT_ATTEMPTS):
        connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        try:
            connection.settimeout(DEADLINE)
            connection.connect(path)
            return connection
        except OSError as error:
            connection.close()
            if attempt == CONNECT_ATTEMPTS - 1:
                raise AgentAway(error.strerror or str(error)) from None
        sleep(CONNECT_PAUSE)
    raise AssertionError


def _ask(path, message):
    """Sends a message and returns the answer's."""
    connection = _connect(path)
    try:
        return _Call(connection, b"\0" + len(message).to_bytes(4, "big") + message).run()
    except OSError as error:
        raise AgentAway(error.strerror or str(error) or "no answer in time") from None
    finally:
        connection.close()


class _Call:
    """One request on stream 1, with the flow control that large configurations need."""

    def __init__(self, connection, body):
        self.connection = connection
        self.body = body
        self.buffer = bytearray()
        self.answer = bytearray()
        self.connection_window = self.stream_window = _WINDOW

    def run(self):
        self.connection.sendall(
            _PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, _END_HEADERS, 1, _REQUEST) + self.next_data()
        )
        while True:
            kind, flags, payload = self.read_frame()
            if kind == _DATA:
                self.answer += payload
            elif kind == _SETTINGS and not flags & _ACK:
                self.settings(payload)
                self.connection.sendall(_frame(_SETTINGS, _ACK, 0, b"") + self.next_data())
            elif kind == _PING and not flags & _ACK:
                self.connection.sendall(_frame(_PING, _ACK, 0, payload))
            elif kind == _WINDOW_UPDATE:
                self.connection.sendall(self.next_data())
            elif kind in (_RST_STREAM, _GOAWAY):
                raise AgentAway("it refused the call")
            size = int.from_bytes(self.answer[1:5], "big") + 5
            if len(self.answer) >= 5 and len(self.answer) >= size:
                return bytes(self.answer[5:size])
            if flags & _END_STREAM and kind in (_DATA, _HEADERS):
                raise AgentAway("it gave no answer")

    def settings(self, payload):
        for start in range(0, len(payload), 6):
            if int.from_bytes(payload[start : start + 2], "big") == _INITIAL_WINDOW_SIZE:
                self.stream_window += int.from_bytes(payload[start + 2 : start + 6], "big") - _WINDOW

    def next_data(self):
        """As much of the body as may be sent now."""
        out = b""
        while self.body:
            size = min(self.connection_window, self.stream_window, _FRAME, len(self.body))
            if size <= 0:
                break
            part, self.body = self.body[:size], self.body[size:]
            self.connection_window -= size
            self.stream_window -= size
            out += _frame(_DATA, 0 if self.body else _END_STREAM, 1, part)
        return out

    def read_frame(self):
        head = self.read(9)
        size, stream = int.from_bytes(head[:3], "big"), int.from_bytes(head[5:], "big")
        payload = self.read(size)
        if head[3] == _WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream:
                self.stream_window += more
            else:
                self.connection_window += more
        return head[3], head[4], payload

    def read(self, size):
        while len(self.buffer) < size:
            more = self.connection.recv(65536)
            if not more:
                raise AgentAway("it closed the connection")
            self.buffer += more
        out = bytes(self.buffer[:size])
        del self.buffer[:size]
        return out


# ---- what is said without the agent


def _text_in(config, key):
    """The text that follows a key; enough JSON for two plain values, "" when it is not there."""
    start = config.find(b'"' + key + b'"')
    if start < 0:
        return ""
    rest = config[start + len(key) + 2 :].lstrip()
    if rest[:1] != b":":
        return ""
    rest = rest[1:].lstrip()
    if rest[:1] != b'"':
        return ""
    return rest[1:].partition(b'"')[0].decode("utf-8", "replace")


def _version_of(config):
    version = _text_in(config, b"cniVersion")
    return (version if version in VERSIONS else VERSIONS[2]).encode()


def _fail(config, code, message):
    text = "".join(letter if letter >= " " and letter not in '"\\' else "'" for letter in message)
    _print(b'{"cniVersion":"%s","code":%d,"msg":"%s"}' % (_version_of(config), code, text.encode()))
    return 1


def _print(output):
    sys.stdout.buffer.write(output)
    sys.stdout.buffer.flush()


def run():
    """Runs one call and ends the process: nothing is left to tidy up, and tidying up takes a millisecond."""
    os._exit(main())

# A name server of forty lines that shares no code with ours: it answers every A question with 192.0.2.7, over UDP and
# TCP; for names that begin with "tcp" the UDP answer is empty and truncated. Prints its port, ends with its input.
import socket
import struct
import sys
import threading


def answer(query, udp):
    ident, flags, questions = struct.unpack("!HHH", query[:6])
    end = 12
    while query[end]:
        end += query[end] + 1
    end += 5
    question = query[12:end]
    truncated = udp and question[1:4] == b"tcp"
    known = struct.unpack("!H", question[-4:-2])[0] == 1 and not truncated
    header = struct.pack("!HHHHHH", ident, 0x8180 | (0x0200 if truncated else 0), 1, int(known), 0, 0)
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 300, 4) + bytes([192, 0, 2, 7])
    return header + question + (record if known else b"")


def over_udp(sock):
    while True:
        query, client = sock.recvfrom(4096)
        sock.sendto(answer(query, True), client)


def over_tcp(listener):
    while True:
        conn, _ = listener.accept()
        with conn, conn.makefile("rb") as stream:
            query = stream.read(struct.unpack("!H", stream.read(2))[0])
            reply = answer(query, False)
            conn.sendall(struct.pack("!H", len(reply)) + reply)


while True:
    udp, tcp = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
    udp.bind(("127.0.0.1", 0))
    try:
        tcp.bind(udp.getsockname())
    except OSError:
        continue
    break
tcp.listen()
for serve, sock in (over_udp, udp), (over_tcp, tcp):
    threading.Thread(target=serve, args=(sock,), daemon=True).start()
print(udp.getsockname()[1], flush=True)
sys.stdin.read()

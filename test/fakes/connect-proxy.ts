import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface ConnectProxy {
  readonly url: string;
  /** The hosts that it was asked for, with their ports, in order. */
  readonly asked: readonly string[];
  stop(): void;
}

/** A proxy for HTTPS, which sees nothing but the host: whatever is asked for, it connects to `port` of this machine. */
export async function startConnectProxy(port: number): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    let head = "";
    const onData = (bytes: Buffer) => {
      head += bytes.toString("latin1");
      if (!head.includes("\r\n\r\n")) return;
      client.off("data", onData);
      const host = /^CONNECT (\S+)/.exec(head)?.[1];
      if (host === undefined) {
        client.destroy();
        return;
      }
      asked.push(host);
      const upstream = connect(port, "127.0.0.1", () => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        client.pipe(upstream).pipe(client);
      });
      sockets.add(upstream);
      upstream.on("error", () => client.destroy());
    };
    client.on("data", onData);
    client.on("error", () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

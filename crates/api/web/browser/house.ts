// What the tests need beside the page: the API as its administrator, a browser, a
// sender, and a network that can be cut.

import { spawn, type ChildProcess } from "node:child_process";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { chromium, type Browser } from "playwright-core";

const BROWSER = "/usr/bin/chromium";

const API = setting("STREAMHAUL_API_URL");
const TOKEN = setting("STREAMHAUL_TOKEN");

/** A link such as `streamhaul dock-url --origin …` prints. */
export async function signInLink(origin: string): Promise<string> {
  const response = await fetch(`${API}/api/v1/dock/links`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  const { path } = (await response.json()) as { path: string };
  return origin + path;
}

/** A link that makes an account, such as `streamhaul users invite` prints. */
export async function invitation(email: string): Promise<string> {
  const { url } = (await ask("/api/v1/ops/invites", { email }, TOKEN)).body as { url: string };
  return url;
}

/** What a device is told that asks to be signed in, as the plugin does. */
export interface Asking {
  readonly login_attempt_id: string;
  readonly poll_token: string;
  readonly user_code: string;
  readonly authorize_url: string;
}

export async function pluginAsks(): Promise<Asking> {
  const client = { platform: "windows", plugin_version: "0.0.5", device_name: "STUDIO" };
  return (await ask("/api/v1/auth/plugin/login/start", { client })).body as Asking;
}

/** Polls once as the plugin does: the status, and the access token once it is in. */
export async function pluginPolls(asking: Asking): Promise<{ status: number; token: string | undefined }> {
  const { login_attempt_id, poll_token } = asking;
  const { status, body } = await ask("/api/v1/auth/plugin/login/poll", { login_attempt_id, poll_token });
  return { status, token: (body as { auth?: { cp_access_jwt: string } }).auth?.cp_access_jwt };
}

/** What a token gets when it asks whose it is. */
export async function sessionStatus(token: string): Promise<number> {
  const headers = { authorization: `Bearer ${token}` };
  return (await fetch(`${API}/api/v1/auth/session`, { headers })).status;
}

/** Moves a connection's stream to the house's other node. */
export async function move(connection: string): Promise<void> {
  const wish = { connection_id: connection, new_region: setting("STREAMHAUL_ELSEWHERE") };
  const { status, body } = await ask("/api/v1/relay/migrate", wish, TOKEN);
  if (status !== 202) throw new Error(`not moved: ${status} ${JSON.stringify(body)}`);
}

async function ask(path: string, body: unknown, token?: string): Promise<{ status: number; body: unknown }> {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const response = await fetch(API + path, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, body: await response.json() };
}

export function launch(): Promise<Browser> {
  return chromium.launch({
    executablePath: BROWSER,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/** Publishes through a phone that bonds three links on made-up carriers: T-Mobile, Verizon, Cox. */
export function publishBonded(streamId: string): ChildProcess {
  return publish(`srt://${setting("STREAMHAUL_PHONE")}?mode=caller&transtype=live&pkt_size=1316&latency=2000000&streamid=${streamId}`);
}

/** Publishes a moving picture of about one megabit a second until it is killed. */
export function publish(url: string): ChildProcess {
  const picture = ["-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25"];
  const codec = ["-c:v", "mpeg2video", "-b:v", "1M", "-minrate", "1M", "-maxrate", "1M", "-bufsize", "1M", "-g", "25"];
  return spawn("ffmpeg", ["-nostdin", "-loglevel", "error", "-re", ...picture, ...codec, "-f", "mpegts", url], {
    stdio: "inherit",
  });
}

/** The way from the browser to the API. Cut, it ends every connection and takes no other. */
export class Network {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor() {
    const { hostname, port } = new URL(API);
    this.#server = createServer((browser) => {
      if (this.#isCut) return void browser.destroy();
      const api = connect(Number(port), hostname);
      for (const [socket, other] of [[browser, api], [api, browser]] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => this.#sockets.delete(socket));
        socket.pipe(other);
      }
    });
  }

  static async open(): Promise<Network> {
    const network = new Network();
    await new Promise<void>((resolve) => network.#server.listen(0, "127.0.0.1", resolve));
    return network;
  }

  /** The API's origin on this way. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: run \`cargo xtask web test\``);
  return value;
}

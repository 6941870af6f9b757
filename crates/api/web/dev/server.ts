// The server's side of the page, simulated, as a plugin of Vite's development server.

import type { IncomingMessage, ServerResponse } from "node:http";
import type { Plugin } from "vite";
import type { Connection, Point } from "../src/api/types";
import { AMS, BACKPACK, CAMERA, connection, KC, PHONE, Simulation, type Scenario } from "./simulation";

/** The one-time code that signs in, again and again. */
const CODE = "demo";
const COOKIE = "simulated_dock=1";
const HISTORY_SECONDS = 3600;

export function simulatedServer(): Plugin {
  const house = new House();
  return {
    name: "simulated-server",
    configureServer(server) {
      server.middlewares.use((request, response, next) => {
        const path = request.url?.split("?")[0] ?? "";
        if (path.startsWith("/api/v1/dock/") || path.startsWith("/v1/sessions/")) void house.answer(request, response, path);
        else next();
      });
    },
  };
}

class House {
  #connections: Connection[] = [PHONE.connection, CAMERA.connection, BACKPACK];
  readonly #scenarios: readonly Scenario[] = [PHONE, CAMERA];

  async answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const body = await read(request);
    const resource = `${request.method ?? ""} ${path.replace("/api/v1/dock", "")}`;
    if (resource === "POST /session") return this.#signIn(response, body);
    if (!(request.headers.cookie ?? "").includes(COOKIE)) return refuse(response, 401, "Sign in first.");
    const [, , name = "", what] = path.replace("/api/v1/dock", "").split("/");
    if (path.startsWith("/v1/sessions/")) return this.#live(request, response, path.split("/")[3] ?? "");
    if (resource === "DELETE /session") return json(response, 204, null, `${COOKIE}; Max-Age=0`);
    if (resource === "GET /connections") return json(response, 200, this.#list());
    if (resource === "POST /connections") return json(response, 201, this.#add(body));
    if (request.method === "DELETE") {
      this.#connections = this.#connections.filter((one) => one.name !== decodeURIComponent(name));
      return json(response, 204, null);
    }
    if (what === "urls") return json(response, 200, this.#urls(decodeURIComponent(name)));
    return refuse(response, 404, "There is nothing here.");
  }

  #signIn(response: ServerResponse, body: string): void {
    const { code } = JSON.parse(body) as { code: string };
    if (code !== CODE) return refuse(response, 401, "The link was used already or is too old. Ask for a new one.");
    json(response, 204, null, `${COOKIE}; HttpOnly; SameSite=Strict; Path=/`);
  }

  #list(): object {
    return { observed_at: Date.now(), regions: ["eu-west", "us-central"], connections: this.#connections };
  }

  #add(body: string): Connection {
    const { name, region } = JSON.parse(body) as { name: string; region: string | null };
    const node = region === KC.region ? KC : AMS;
    this.#connections.push(connection(name, node, { publishing: false, status: "provisioning" }));
    setTimeout(() => {
      const ready = connection(name, node, { publishing: false });
      this.#connections = this.#connections.map((one) => (one.name === name ? ready : one));
    }, 4000);
    return connection(name, node, { publishing: false, status: "provisioning" });
  }

  #urls(name: string): object {
    const { host, port } = this.#connections.find((one) => one.name === name)?.session?.node ?? AMS;
    const at = `${host}:${port}`;
    const [publish, play] = ["6f1d0c5be2a94d7c8b3a51e07f92c4d8", "c83e7a1940bd4f5e92d16b7ac05e3f21"];
    return {
      sender_srtla_url: `srtla://${at}?streamid=live_${publish}`,
      sender_srt_url: `srt://${at}?streamid=live_${publish}&mode=caller`,
      media_source_url: `srt://${at}?streamid=play_${play}&mode=caller`,
    };
  }

  #live(request: IncomingMessage, response: ServerResponse, id: string): void {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const scenario = this.#scenarios.find(({ connection }) => connection.session?.session_id === id);
    if (scenario === undefined) {
      response.write("event: snapshot\ndata: []\n\nevent: stale\ndata: {\"observed_at\":null}\n\n");
      return;
    }
    const now = Math.floor(Date.now() / 1000);
    const simulation = new Simulation(scenario, now - HISTORY_SECONDS);
    const points = Array.from({ length: HISTORY_SECONDS }, (_, index) => simulation.second(now - HISTORY_SECONDS + 1 + index));
    send(response, "snapshot", points.at(-1), points);
    let second = now;
    const timer = setInterval(() => {
      second += 1;
      const point = simulation.second(second);
      send(response, "sample", point, point);
    }, 1000);
    request.on("close", () => clearInterval(timer));
  }
}

function send(response: ServerResponse, name: string, newest: Point | undefined, data: object): void {
  response.write(`event: ${name}\nid: ${newest?.observed_at ?? ""}\ndata: ${JSON.stringify(data)}\n\n`);
}

async function read(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function json(response: ServerResponse, status: number, body: object | null, cookie?: string): void {
  if (cookie !== undefined) response.setHeader("set-cookie", cookie);
  response.writeHead(status, { "content-type": "application/json" });
  response.end(body === null ? undefined : JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, message: string): void {
  json(response, status, { error: { code: "refused", message, request_id: "req_simulated" } });
}

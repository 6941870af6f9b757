// What the API says, in its own words. Units are in the names; times are Unix
// milliseconds. No secret is among these: URLs with keys are asked for one by one.

export type SessionStatus = "provisioning" | "active" | "grace";

/** What a session is doing, told when it changes: sooner than the list is asked for. */
export interface SessionNews {
  /** The server's clock. */
  readonly observed_at: number;
  readonly status: SessionStatus | "draining" | "stopped";
  readonly publishing: boolean;
  /** The session that its stream goes to, or went to. */
  readonly moved_to: string | null;
}

/** The relay node that carries a connection. */
export interface Node {
  readonly name: string;
  readonly region: string;
  readonly host: string;
  readonly port: number;
  /** Whether the control plane hears from it. */
  readonly online: boolean;
}

/** The session that a stream leaves, as long as its sender is there. */
export interface Origin {
  readonly session_id: string;
  readonly node_name: string;
}

/** What carries a connection: it changes when the connection moves to another node. */
export interface Session {
  readonly session_id: string;
  readonly status: SessionStatus;
  readonly publishing: boolean;
  readonly region_fallback: boolean;
  readonly node: Node;
  /** Where the stream comes from while it moves here. */
  readonly moving_from: Origin | null;
}

/** One managed connection: provisioned when it was added, until it is removed. */
export interface Connection {
  /** The user's own name for it, which no other of their connections has. */
  readonly name: string;
  /** None while no node can take it; the server goes on trying. */
  readonly session: Session | null;
  /** When the server said so, by its clock. */
  readonly listed_at: number;
}

/** What a dock shows that asks to be signed in, and what it asks with. */
export interface DeviceCode {
  readonly attempt: string;
  /** The same is on the page that confirms it. */
  readonly code: string;
  /** Where somebody who is signed in confirms it. */
  readonly url: string;
  readonly pollToken: string;
  readonly pollIntervalMs: number;
}

export interface ConnectionList {
  /** The server's clock. */
  readonly observed_at: number;
  readonly regions: readonly string[];
  readonly connections: readonly Connection[];
}

/** The leg from the sender to the node. Totals count since the sender connected. */
export interface Publisher {
  readonly packets_total: number;
  readonly packets_lost_total: number;
  readonly packets_recovered_total: number;
  readonly packets_dropped_total: number;
  readonly packets_duplicate_total: number;
  readonly rtt_us: number;
  readonly latency_ms: number;
  readonly uptime_ms: number;
}

/** The leg from the node to one player. */
export interface Player {
  readonly rtt_us: number;
  readonly latency_ms: number;
  readonly packets_dropped_total: number;
}

/** What the network of a link's address tells about the link. */
export type LinkType = "cellular" | "satellite" | "fixed" | "hosting" | "local" | "unknown";

/** One uplink of a bonded sender. */
export interface Link {
  /** The same as long as the link lives; a link that returns has another. */
  readonly number: number;
  /** Where it comes from: tells links apart and is never shown, docks are seen on streams. */
  readonly addr: string;
  /** The organisation that owns the source address, when it is known. */
  readonly asn_org: string | null;
  readonly link_type: LinkType;
  readonly bitrate_bps: number;
  readonly share_pct: number;
  readonly loss_pct: number | null;
  /** As the sender measures it; few senders say it. */
  readonly rtt_ms: number | null;
  readonly jitter_ms: number | null;
  /** How much longer packets travel on it than on the fastest link. */
  readonly delay_ms: number | null;
  readonly last_ms_ago: number;
  readonly uptime_s: number;
}

/** One second of one session. */
export interface Point {
  /** The node's clock, and the event's id. */
  readonly observed_at: number;
  readonly publishing: boolean;
  readonly ingress_bitrate_bps: number | null;
  readonly publisher: Publisher | null;
  readonly players_total: number;
  readonly players: readonly Player[];
  /** Absent for a sender that does not bond. */
  readonly links: readonly Link[];
}

/** Where to send to and where to play from. These hold stream keys. */
export interface Urls {
  readonly sender_srtla_url: string;
  readonly sender_srt_url: string;
  readonly media_source_url: string;
}

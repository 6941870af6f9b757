// A link that sets up a stream in Moblin: `moblin://?` and URL-encoded JSON.

export interface MoblinStream {
  readonly name: string;
  readonly url: string;
}

/** What the app asks for when it is told nothing else. */
const LATENCY_MS = 2000;

export function moblinLink({ name, url }: MoblinStream): string {
  const settings = {
    streams: [{ name, url, selected: true, srt: { latency: LATENCY_MS, adaptiveBitrateEnabled: true } }],
  };
  return `moblin://?${encodeURIComponent(JSON.stringify(settings))}`;
}

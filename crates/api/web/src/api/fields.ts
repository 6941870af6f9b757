// Fields of an answer, checked one by one.

/** An answer that is not the API's. */
export class DecodeError extends Error {}

export type Fields = Readonly<Record<string, unknown>>;

export function object(value: unknown): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DecodeError("an answer is not an object");
  }
  return value as Fields;
}

export function list(fields: Fields, name: string): readonly unknown[] {
  const value = fields[name];
  if (!Array.isArray(value)) throw new DecodeError(`${name} is not a list`);
  return value;
}

export function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== "string") throw new DecodeError(`${name} is not a text`);
  return value;
}

export function number(fields: Fields, name: string): number {
  const value = fields[name];
  if (typeof value !== "number" || !Number.isFinite(value)) throw new DecodeError(`${name} is not a number`);
  return value;
}

export function maybeNumber(fields: Fields, name: string): number | null {
  return fields[name] == null ? null : number(fields, name);
}

export function flag(fields: Fields, name: string): boolean {
  const value = fields[name];
  if (typeof value !== "boolean") throw new DecodeError(`${name} is neither true nor false`);
  return value;
}

export function maybeText(fields: Fields, name: string): string | null {
  return fields[name] == null ? null : text(fields, name);
}

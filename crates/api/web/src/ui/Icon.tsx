// Line icons on a grid of 16 by 16.

const PATHS = {
  logo: "M2 4.5h4.5c2.2 0 2.2 3.5 4.4 3.5H14M2 8h12M2 11.5h4.5c2.2 0 2.2-3.5 4.4-3.5",
  plus: "M8 3v10M3 8h10",
  close: "M4 4l8 8M12 4l-8 8",
  leave: "M9.5 3H4v10h5.5M7 8h7M11.5 5.5L14 8l-2.5 2.5",
  chevron: "M4 6l4 4 4-4",
  check: "M3 8.5l3.2 3.2L13 5",
  qr: "M2.5 2.5h4v4h-4zM9.5 2.5h4v4h-4zM2.5 9.5h4v4h-4zM9.5 9.5h1.5v1.5M13.5 9.5v4h-4M11.5 12",
  alert: "M8 2.2l6.3 11.3H1.7zM8 6.5v3.2M8 11.6v.1",
} as const;

export function Icon({ name }: { readonly name: keyof typeof PATHS }): React.JSX.Element {
  return (
    <svg className={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

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
  wait: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.8V8l2.2 1.6",
  system: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 2v12M9 4h3M9 6h4.5M9 8h5M9 10h4.5M9 12h3",
  light: "M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6zM8 1.5V3M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M12.6 3.4l-1 1M4.4 11.6l-1 1",
  dark: "M13.2 9.6A5.8 5.8 0 0 1 6.4 2.8a5.8 5.8 0 1 0 6.8 6.8z",
  cellular: "M3 13v-2M6.3 13V9M9.6 13V6M13 13V3",
  satellite: "M3.5 6.5a5 5 0 0 0 6 6zM6.5 9.5l2.5-2.5M9 3.5a3.5 3.5 0 0 1 3.5 3.5M9 1.5A5.5 5.5 0 0 1 14.5 7",
  fixed: "M2.5 8L8 3l5.5 5M4 7v6h8V7M7 13v-3h2v3",
  hosting: "M3 3h10v4H3zM3 9h10v4H3zM5.5 5h.1M5.5 11h.1",
  local: "M8 3.5v3M3.5 12.5v-3h9v3M8 6.5v3M6.5 1.5h3v2h-3zM2 12.5h3v2H2zM11 12.5h3v2h-3z",
  unknown: "M2.5 6.5a8 8 0 0 1 11 0M4.7 9a5 5 0 0 1 6.6 0M8 12.3v.1",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }): React.JSX.Element {
  return (
    <svg className={`icon icon-${name}`} viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

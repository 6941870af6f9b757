# Every recipe is one `cargo xtask …` line; CI runs the same.

# Lists the recipes.
default:
    @just --list

# Builds and runs everything on this machine.
up *args:
    cargo xtask up {{args}}

# The same with a picture from a bonded phone, its figures and the dock.
demo *args:
    cargo xtask up --demo {{args}}

# Every test: unit, integration, end-to-end with real ffmpeg.
test *args:
    cargo xtask test {{args}}

# Builds the dock's page, or tests it in a browser: `just web build`, `just web test`.
web what:
    cargo xtask web {{what}}

# The pictures of the dock in the documents.
screenshots *args:
    cargo xtask screenshots {{args}}

# Formatting, Clippy, dependency rules.
lint:
    cargo xtask lint

# Measures, and prints figures.
bench *args:
    cargo xtask bench {{args}}

# Breaks things on purpose, and prints what happened.
drill *args:
    cargo xtask drill {{args}}

# Searches for bytes that break a promise.
fuzz *args:
    cargo xtask fuzz {{args}}

# Common programs through a relay node, over bad paths.
interop *args:
    cargo xtask interop {{args}}

# The checklist of a release: a bonded phone, and the dock in a headless browser.
qa *args:
    cargo xtask qa {{args}}

# Regenerates the gRPC code from proto/.
gen:
    cargo xtask gen

# Regenerates docs/openapi.json from the API's route table.
openapi:
    cargo xtask openapi

# Regenerates the offline query data in .sqlx/.
sqlx:
    cargo xtask sqlx

FROM oven/bun:1.4.5-alpine AS build
WORKDIR /app
COPY package.json bun.lock ./
RUN bun install --frozen-lockfile --production
COPY handler.ts ./
COPY core ./core
COPY adapters ./adapters
COPY web/pages.generated.ts ./web/pages.generated.ts
COPY scripts ./scripts
RUN bun scripts/build.ts server

FROM oven/bun:1.4.5-alpine
WORKDIR /app
COPY --from=build /app/dist/server ./
ENV HOST=0.0.0.0 PORT=8088
# As in adapters/bun-options.sh, which says what for.
ENV BUN_CONFIG_MAX_HTTP_REQUESTS=65000 BUN_JSC_largeHeapSize=16777216 BUN_JSC_heapGrowthMaxIncrease=0.5
USER bun
EXPOSE 8088
HEALTHCHECK --interval=30s --timeout=5s CMD ["bun", "-e", "process.exit((await fetch(`http://127.0.0.1:${process.env.PORT}/health`)).ok ? 0 : 1)"]
CMD ["bun", "bun.js"]

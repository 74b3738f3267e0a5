# What Bun has to find in its environment when it starts: `npm start` reads this first. What is set already stays as it is.
# bun-options.ts and the Dockerfile have the same.

# Bun's fetch opens 256 connections at most by itself; more streams than that would wait for one another.
export BUN_CONFIG_MAX_HTTP_REQUESTS="${BUN_CONFIG_MAX_HTTP_REQUESTS:-65000}"

# Garbage is collected when the heap has grown by half, and not below 16 MiB. By itself Bun waits until it is three times as
# large, on a machine of 16 GiB or more: 1,000 streams then took 60 MiB where they take 20, 10,000 conversations 106 where they
# take 34, at the same speed.
export BUN_JSC_largeHeapSize="${BUN_JSC_largeHeapSize:-16777216}"
export BUN_JSC_heapGrowthMaxIncrease="${BUN_JSC_heapGrowthMaxIncrease:-0.5}"

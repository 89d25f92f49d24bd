using MemSim.Observability;

namespace MemSim.Recordings;

/// <summary>What a recorded <c>*-mmlists</c> file holds.</summary>
/// <param name="State">The allocator's state, as far as the file tells; see <see cref="MmListsReader"/>.</param>
/// <param name="Layout">The addresses of the <c>layout</c> line by name, e.g. <c>page_offset</c>, <c>vmalloc_start</c>, <c>vmemmap</c>.</param>
/// <param name="PageStructBytes">Bytes of a <c>struct page</c> in the recorded kernel.</param>
/// <param name="ZoneStructBytes">Bytes of a <c>struct zone</c> in the recorded kernel.</param>
public sealed record MmListsFile(AllocatorState State, IReadOnlyDictionary<string, ulong> Layout, int PageStructBytes, int ZoneStructBytes);

namespace MemSim;

/// <summary><c>hugepagesz=</c> and <c>hugepages=</c>: a pool of huge pages.</summary>
/// <param name="PageSize">Bytes of a page; 0 for the default size.</param>
/// <param name="Pages">Pages in all.</param>
/// <param name="Nodes">Pages on single nodes (<c>hugepages=0:2,1:5</c>); empty when they go round all nodes.</param>
public sealed record HugePagesParameter(ByteSize PageSize, long Pages, IReadOnlyList<(int Node, long Pages)> Nodes);

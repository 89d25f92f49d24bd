using System.Runtime.CompilerServices;
using System.Text;

namespace MemSim;

/// <summary>Records, step by step, what the kernel did about page faults.</summary>
public sealed class FaultStory
{
    private const int MaxLines = 10_000;

    private readonly List<string> _lines = [];

    /// <summary>The steps, oldest first; the first ten thousand.</summary>
    public IReadOnlyList<string> Lines => _lines;

    /// <summary>Forgets what was recorded.</summary>
    public void Clear() => _lines.Clear();

    internal void Add(string line) => AddLine("  " + line);

    internal void Begin(string line) => AddLine(line);

    // Sentences are put together here and not in the fault path: their parts would cost every fault room on the stack that has to be cleared.
    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddRead(int pfn, bool major) => Add($"page 0x{pfn:x} of the file {(major ? "was read from its device" : "is in the page cache")}: mapped for reading");

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddPrivateCopy(int pfn, int copy) => Add($"write to a private mapping: page 0x{pfn:x} of the file copied to 0x{copy:x}");

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddSharedWrite(int pfn) => Add($"write to a shared mapping: page 0x{pfn:x} of the file is mapped writable and dirty");

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddMove(long pfn) => Add($"page 0x{pfn:x} is being moved: wait");

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddSwapIn(int area, long slot, int pfn, bool major) => Add($"swap area {area}, slot {slot}: page 0x{pfn:x} {(major ? "was read" : "was still in the swap cache")}");

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddReuse(int pfn) => Add($"page 0x{pfn:x} is this process's alone: it becomes writable, nothing is copied");

    [MethodImpl(MethodImplOptions.NoInlining)]
    internal void AddFirstWrite(int pfn) => Add($"first write to page 0x{pfn:x} of the file: told to the file system, writable from now on");

    private void AddLine(string line)
    {
        if (_lines.Count < MaxLines)
        {
            _lines.Add(line);
        }
    }

    /// <summary>The steps, a line each.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        foreach (string line in _lines)
        {
            text.Append(line).Append('\n');
        }

        return text.ToString();
    }
}

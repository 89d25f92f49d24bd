namespace MemSim;

/// <content>What a new program finds: stack and heap.</content>
public sealed partial class MemoryDescriptor
{
    // execve() leaves a page for arguments and makes the stack 128 KiB larger than it needs to be (stack_expand).
    private const ulong FirstStackPages = ((128 << 10) / PageGeometry.PageSize) + 1;

    /// <summary>Sets up stack and heap (<c>setup_arg_pages()</c>, <c>set_brk()</c>).</summary>
    internal Errno SetUpProgram(Cpu cpu)
    {
        ulong top = _spaces.Addresses.Window;
        ulong bytes = Math.Min(FirstStackPages << PageGeometry.PageShift, Math.Max(Limits.Stack, PageGeometry.PageSize) & ~PageMask);
        StackStart = new VirtualAddress(top - 16);
        HeapStart = HeapEnd = new VirtualAddress(_spaces.Addresses.Program);
        return MapRegion(cpu, top - bytes, bytes, VmaFlags.Read | VmaFlags.Write | VmaFlags.MayRead | VmaFlags.MayWrite | VmaFlags.MayExec | VmaFlags.GrowsDown, (top - bytes) >> PageGeometry.PageShift, null);
    }
}

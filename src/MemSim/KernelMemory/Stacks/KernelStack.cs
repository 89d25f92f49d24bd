using System.Buffers.Binary;
using System.Globalization;
using System.Text;

namespace MemSim;

/// <summary>A kernel stack in simulated RAM: of a task, or of the interrupts of a CPU. It grows downwards, frame by frame.</summary>
/// <remarks>
/// Frames are written, so how deep a stack ever was is found as the kernel finds it: by looking for the lowest word that is not zero. A vmapped stack ends in a
/// page that is not mapped, and overflowing it is a fault at once; any other overflow destroys first what lies at the bottom, unnoticed until somebody looks there.
/// </remarks>
public sealed class KernelStack
{
    /// <summary>The word at the end of a task's stack (<c>STACK_END_MAGIC</c>).</summary>
    public const uint EndMagic = 0x57AC6E9D;

    private const int ListedFrames = 16;
    private static readonly string[] ThreadInfoFields = ["task", "exec_domain", "flags", "status", "cpu", "preempt_count", "addr_limit", "restart_block"];

    private readonly Machine _machine;

    internal Machine Machine => _machine;
    private readonly Page[] _pages;
    private readonly List<StackFrame> _frames = [];
    private readonly int _word;
    private readonly bool _isArm64;

    internal KernelStack(Machine machine, string kind, VirtualAddress bottom, Page[] pages, bool isVmapped, bool ownsArea, int threadInfoBytes)
    {
        _machine = machine;
        _pages = pages;
        _word = machine.Architecture.Bits / 8;
        _isArm64 = machine.Architecture.Architecture == Architecture.Arm64;
        Kind = kind;
        Bottom = bottom;
        IsVmapped = isVmapped;
        OwnsArea = ownsArea;
        ThreadInfoBytes = threadInfoBytes;
    }

    /// <summary>What it is for, as reports name it: <c>TASK</c>, <c>IRQ</c>, <c>SOFTIRQ</c>.</summary>
    public string Kind { get; }

    /// <summary>The task whose stack it is; null for interrupts, and for a stack kept for the next task.</summary>
    public KernelTask? Task { get; internal set; }

    /// <summary>The lowest address.</summary>
    public VirtualAddress Bottom { get; }

    /// <summary>The address after the highest one: where the first frame begins.</summary>
    public VirtualAddress Top => Bottom + Bytes;

    /// <summary>Its size (<c>THREAD_SIZE</c>).</summary>
    public int Bytes => _pages.Length << PageGeometry.PageShift;

    /// <summary>Whether it lies in vmalloc space, with a page below that is not mapped.</summary>
    public bool IsVmapped { get; }

    /// <summary>The pages, lowest address first.</summary>
    public IReadOnlyList<Page> Pages => _pages;

    /// <summary>Bytes of <c>thread_info</c> at the bottom.</summary>
    public int ThreadInfoBytes { get; }

    /// <summary>The stack pointer: the lowest address in use.</summary>
    public VirtualAddress Pointer => _frames.Count == 0 ? Top : _frames[^1].Start;

    /// <summary>Frames in use.</summary>
    public int Depth => _frames.Count;

    /// <summary>Bytes in use now.</summary>
    public int UsedBytes => (int)(Top - Pointer);

    /// <summary>The frames in use, the first function called first.</summary>
    public IReadOnlyList<StackFrame> Frames => _frames;

    /// <summary>Whether the stack still belongs to somebody.</summary>
    public bool IsFreed { get; internal set; }

    /// <summary>Bytes that were never used, as the kernel counts them: zeroes above the end (<c>stack_not_used()</c>).</summary>
    public int NeverUsedBytes
    {
        get
        {
            int end = EndOffset;
            for (int at = end + _word; at < Bytes; at = (at | (PageGeometry.PageSize - 1)) + 1)
            {
                int used = _machine.Ram.ReadOnly(PhysicalOf(at), PageGeometry.PageSize - (at & (PageGeometry.PageSize - 1))).IndexOfAnyExcept((byte)0);
                if (used >= 0)
                {
                    return (at + used) / _word * _word - end;
                }
            }

            return Bytes - end;
        }
    }

    /// <summary>The most bytes that were ever in use, as found in the contents: how close the stack came to its end.</summary>
    public int HighWaterBytes
    {
        get
        {
            int unused = NeverUsedBytes;
            return EndOffset + unused >= Bytes ? 0 : Bytes - EndOffset - unused;
        }
    }

    /// <summary>Whether the word at the end is what the kernel wrote there (<c>task_stack_end_corrupted()</c>); always for stacks of interrupts, which have none.</summary>
    public bool IsEndIntact => Task is null || ReadWord(EndOffset) == EndMagic;

    internal bool OwnsArea { get; }

    /// <summary>The lowest word that is not thread_info (<c>end_of_stack()</c>).</summary>
    internal int EndOffset => (ThreadInfoBytes + _word - 1) / _word * _word;

    /// <summary>Enters a function until the scope is disposed.</summary>
    /// <param name="cpu">The CPU that runs it.</param>
    /// <param name="bytes">The size of its frame, return address and saved registers included.</param>
    /// <param name="function">Its name.</param>
    /// <exception cref="KernelBugException">As for <see cref="Push"/>.</exception>
    public StackScope Call(Cpu cpu, int bytes, string function) => Push(cpu, bytes, function) ? new StackScope(this, Depth) : default;

    /// <summary>Enters a function: its frame is written word by word, from the top down.</summary>
    /// <param name="cpu">The CPU that runs it.</param>
    /// <param name="bytes">The size of its frame, return address and saved registers included; rounded up to words.</param>
    /// <param name="function">Its name.</param>
    /// <returns>False after a logged complaint.</returns>
    /// <exception cref="KernelBugException">The frame does not fit and the function was not entered. A frame that reaches the guard page faults, and nothing has changed; any other destroys what lies at the end of the stack, as on a real machine, but nothing below it.</exception>
    /// <exception cref="ArgumentOutOfRangeException">The size is not positive or more than 1 MiB.</exception>
    public bool Push(Cpu cpu, int bytes, string function)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _machine.CpuTable.Own(cpu);
        ArgumentException.ThrowIfNullOrEmpty(function);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, 1 << 20);
        _machine.ThrowIfDisposed();
        if (IsFreed)
        {
            _machine.Bugs.Raise(KernelBugKind.NotAllocated, $"kernel BUG: {function} runs on a stack that was freed ({Bottom})", Context(cpu));
            return false;
        }

        int size = (bytes + _word - 1) / _word * _word;
        int start = Bytes - UsedBytes - size;
        bool hitsGuard = IsVmapped && start < 0 && !cpu.Mmu.TryTranslate(Bottom + -_word, MemoryAccess.Write, out _, out _);
        if (!hitsGuard)
        {
            Fill(cpu, Math.Max(start, 0), Bytes - UsedBytes, function);
        }

        if (start >= EndOffset + (Task is null ? 0 : _word))
        {
            _frames.Add(new StackFrame(function, Bottom + start, size));
            return true;
        }

        Overflowed(cpu, function, start, size, hitsGuard);
        return false;
    }

    /// <summary>Returns from the last function entered. What its frame held stays in memory.</summary>
    /// <exception cref="KernelBugException">There is none.</exception>
    public void Pop()
    {
        if (_frames.Count == 0)
        {
            _machine.Bugs.Raise(KernelBugKind.InvalidObject, $"kernel BUG: return from the first function of the stack {Bottom}..{Top}", "Each Pop needs a Push before it.\n");
            return;
        }

        _frames.RemoveAt(_frames.Count - 1);
    }

    /// <summary>Looks at the end of the stack as the scheduler does when the task gives up the CPU (<c>CONFIG_SCHED_STACK_END_CHECK</c>).</summary>
    /// <param name="cpu">The CPU that does it.</param>
    /// <exception cref="KernelBugException">The end was overwritten.</exception>
    public void CheckEnd(Cpu cpu)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        _ = _machine.CpuTable.Own(cpu);
        if (!IsEndIntact)
        {
            _machine.Bugs.Raise(KernelBugKind.StackOverflow, "Kernel panic - not syncing: corrupted stack end detected inside scheduler",
                $"end of the stack: 0x{ReadWord(EndOffset):x}, not 0x{EndMagic:x}\n{Context(cpu)}{this}");
        }
    }

    /// <summary>The frames in use, the last function called first, with what is left below and what the stack's highest use was.</summary>
    public override string ToString()
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"{Kind} stack {Bottom}..{Top}{(Task is null ? "" : $" of {Task}")}: {UsedBytes} of {Bytes} bytes in use, at most {HighWaterBytes}, {NeverUsedBytes} never used\n");
        for (int i = _frames.Count - 1; i >= Math.Max(0, _frames.Count - ListedFrames); i--)
        {
            text.Append(CultureInfo.InvariantCulture, $"  {_frames[i].Start} {_frames[i].Bytes,6} {_frames[i].Function}\n");
        }

        return _frames.Count > ListedFrames ? text.Append(CultureInfo.InvariantCulture, $"  and {_frames.Count - ListedFrames} frames above\n").ToString() : text.ToString();
    }

    /// <summary>Makes the stack as good as new: zeroes, and the word at the end for a task.</summary>
    internal void Reset(KernelTask? task)
    {
        foreach (Page page in _pages)
        {
            _machine.Ram.Zero(page.FrameIndex, 1);
        }

        _frames.Clear();
        Task = task;
        IsFreed = false;
        if (task is not null)
        {
            WriteWord(EndOffset, EndMagic);
        }
    }

    private void Fill(Cpu cpu, int start, int end, string function)
    {
        // What a frame holds is not simulated, only that its words are not zero: an address in the kernel's text that depends on the function.
        uint hash = 2166136261;
        foreach (char c in function)
        {
            hash = (hash ^ c) * 16777619;
        }

        ulong word = _isArm64 ? 0xffff_8000_0801_0000 + (hash & 0xff_fffc) : _word == 8 ? 0xffff_ffff_8100_0001 + (hash & 0xff_fffe) : 0xc100_0001 + (hash & 0xff_fffe);
        for (int at = end - _word; at >= start; at -= _word)
        {
            if (_word == 8)
            {
                cpu.Write(Bottom + at, word);
            }
            else
            {
                cpu.Write(Bottom + at, (uint)word);
            }
        }
    }

    private void Overflowed(Cpu cpu, string function, int start, int size, bool hitsGuard)
    {
        string frame = string.Create(CultureInfo.InvariantCulture, $"{function} needs {size} bytes, {Bytes - UsedBytes} were left: {-Math.Min(start, 0)} beyond the bottom\n");
        if (hitsGuard)
        {
            // The word right below the bottom is the first one written there: nothing is mapped at it.
            VirtualAddress fault = Bottom + -_word;
            string message = _isArm64
                ? $"Insufficient stack space to handle exception! {Kind} stack: [{Bottom}..{Top}], FAR: {fault}"
                : $"BUG: {Kind} stack guard page was hit at {fault} (stack is {Bottom}..{Top + -1})";
            _machine.Bugs.Raise(KernelBugKind.StackOverflow, message, frame + Context(cpu) + this);
            return;
        }

        StringBuilder report = new(frame);
        if (Task is not null)
        {
            report.Append(CultureInfo.InvariantCulture, $"overwritten first: STACK_END_MAGIC at {Bottom + EndOffset}\n");
            for (int i = ThreadInfoFields.Length - 1; i >= 0 && ThreadInfoBytes != 0; i--)
            {
                int at = i * _word;
                if (at < ThreadInfoBytes && at + _word > start)
                {
                    report.Append(CultureInfo.InvariantCulture, $"overwritten: thread_info.{ThreadInfoFields[i]} at {Bottom + at}\n");
                }
            }
        }

        if (start < 0)
        {
            report.Append(CultureInfo.InvariantCulture, $"a real machine would go on with {-start} bytes below the stack: {Below()}\n");
        }

        string what = Task is null ? "the stack's end" : ThreadInfoBytes != 0 && start < ThreadInfoBytes ? "thread_info" : "the end of the stack (STACK_END_MAGIC)";
        _machine.Bugs.Raise(KernelBugKind.StackOverflow, $"BUG: {Kind} stack overflow in {function}: {what} was overwritten (stack is {Bottom}..{Top + -1})", report + Context(cpu) + this);
    }

    private string Below()
    {
        if (!_machine.TryGetPage(Bottom + -1, out Page page))
        {
            return "no memory is there";
        }

        int head = _machine.ZoneTable.BlockHeadOf(page.FrameIndex, out int order);
        bool used = head >= 0 && _machine.Frames.FrameOf(head).RefCount > 0;
        return $"{page} in zone {page.Zone.Name}, {(used ? $"part of an allocated block of order {order}" : _machine.Frames.IsReserved(page.FrameIndex) ? "reserved" : "free")}{(page.Type != PageType.None ? $", type {page.Type}" : "")}";
    }

    private static string Context(Cpu cpu) => string.Create(CultureInfo.InvariantCulture, $"CPU: {cpu.Id} PID: {cpu.Current.Pid} Comm: {cpu.Current.Name}\n");

    private ulong ReadWord(int offset)
    {
        ReadOnlySpan<byte> bytes = _machine.Ram.ReadOnly(PhysicalOf(offset), _word);
        return _word == 8 ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : BinaryPrimitives.ReadUInt32LittleEndian(bytes);
    }

    private void WriteWord(int offset, uint value)
    {
        if (_word == 8)
        {
            _machine.Ram.Write(PhysicalOf(offset), (ulong)value);
        }
        else
        {
            _machine.Ram.Write(PhysicalOf(offset), value);
        }
    }

    private ulong PhysicalOf(int offset) => _pages[offset >> PageGeometry.PageShift].PhysicalAddress.Value + ((ulong)(uint)offset & (PageGeometry.PageSize - 1));
}

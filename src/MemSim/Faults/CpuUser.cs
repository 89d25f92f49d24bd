using MemSim.Hardware;

namespace MemSim;

/// <summary>Memory of the process that runs on a CPU, touched by kernel code (<c>uaccess.h</c>). <see cref="Cpu.User"/>.</summary>
public sealed class CpuUser
{
    private readonly Cpu _cpu;

    internal CpuUser(Cpu cpu) => _cpu = cpu;

    /// <summary>Copies bytes to the process that runs (<c>copy_to_user()</c>).</summary>
    /// <param name="to">Where in the process.</param>
    /// <param name="from">The bytes.</param>
    /// <returns>How many bytes were not copied: 0 on success.</returns>
    public long CopyToUser(VirtualAddress to, ReadOnlySpan<byte> from) => _cpu.Machine.Hooks.FaultInjector.FailsUserCopy(_cpu, from.Length) ? from.Length : Store(to, from);

    /// <summary>Copies bytes from the process that runs (<c>copy_from_user()</c>); what could not be copied is zeroed.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="from">Where in the process.</param>
    /// <returns>How many bytes were not copied: 0 on success.</returns>
    public long CopyFromUser(Span<byte> to, VirtualAddress from)
    {
        if (_cpu.Machine.Hooks.FaultInjector.FailsUserCopy(_cpu, to.Length))
        {
            to.Clear();
            return to.Length;
        }

        return Fetch(to, from);
    }

    private long Store(VirtualAddress to, ReadOnlySpan<byte> from)
    {
        CpuMmu mmu = _cpu.UseMmu();
        (bool InProcess, bool InUserMode, bool MayTouchUser) before = mmu.BeginCopy();
        try
        {
            int done = 0;
            while (done < from.Length && TryUser(mmu, to.Value + (ulong)done, MemoryAccess.Write, out ulong physical))
            {
                int run = Math.Min(from.Length - done, PageGeometry.PageSize - (int)(physical & CpuAccesses.PageOffsetMask));
                from.Slice(done, run).CopyTo(mmu.Memory.Range(physical, run));
                LeaveUser(mmu);
                done += run;
            }

            return from.Length - done;
        }
        finally
        {
            mmu.EndCopy(before);
        }
    }

    private long Fetch(Span<byte> to, VirtualAddress from)
    {
        CpuMmu mmu = _cpu.UseMmu();
        (bool InProcess, bool InUserMode, bool MayTouchUser) before = mmu.BeginCopy();
        try
        {
            int done = 0;
            while (done < to.Length && TryUser(mmu, from.Value + (ulong)done, MemoryAccess.Read, out ulong physical))
            {
                int run = Math.Min(to.Length - done, PageGeometry.PageSize - (int)(physical & CpuAccesses.PageOffsetMask));
                mmu.Memory.ReadOnly(physical, run).CopyTo(to[done..]);
                LeaveUser(mmu);
                done += run;
            }

            to[done..].Clear();
            return to.Length - done;
        }
        finally
        {
            mmu.EndCopy(before);
        }
    }

    /// <summary>Reads a value from the process that runs (<c>get_user()</c>).</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">Where.</param>
    /// <param name="value">The value; zero when it could not be read.</param>
    /// <returns><see cref="Errno.None"/> or EFAULT.</returns>
    public Errno GetUser<T>(VirtualAddress address, out T value)
        where T : unmanaged
    {
        value = default;
        return Fetch(System.Runtime.InteropServices.MemoryMarshal.AsBytes(new Span<T>(ref value)), address) == 0 ? Errno.None : Errno.EFAULT;
    }

    /// <summary>Writes a value to the process that runs (<c>put_user()</c>).</summary>
    /// <typeparam name="T">Any type without references.</typeparam>
    /// <param name="address">Where.</param>
    /// <param name="value">The value.</param>
    /// <returns><see cref="Errno.None"/> or EFAULT.</returns>
    public Errno PutUser<T>(VirtualAddress address, T value)
        where T : unmanaged =>
        Store(address, System.Runtime.InteropServices.MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value))) == 0 ? Errno.None : Errno.EFAULT;

    private static void LeaveUser(CpuMmu mmu)
    {
        if (mmu.IsGated)
        {
            mmu.LeaveGate();
        }
    }

    /// <summary>Translates a user address in kernel mode, repairing faults; addresses of the kernel are refused (<c>access_ok()</c>). A gate is entered, if there is one.</summary>
    private bool TryUser(CpuMmu mmu, ulong address, MemoryAccess access, out ulong physical)
    {
        physical = 0;
        if (_cpu.Machine.Mmu.IsKernelAddress(address))
        {
            return false;
        }

        int tries = mmu.IsGated ? CpuAccesses.MaxParallelRetries : CpuAccesses.MaxFaultRetries;
        for (int i = 0; i < tries; i++)
        {
            if (EnterUser(mmu, address, access, out physical, out PageFault fault))
            {
                return true;
            }

            if (_cpu.Machine.Mmu.FaultHandler is not { } handler || !handler.Handle(_cpu, fault))
            {
                return false;
            }
        }

        return false;
    }

    private static bool EnterUser(CpuMmu mmu, ulong address, MemoryAccess access, out ulong physical, out PageFault fault)
    {
        if (!mmu.IsGated)
        {
            bool translated = mmu.Translate(address, access, out physical, out uint cycles, out fault);
            mmu.AddCycles(cycles);
            return translated;
        }

        mmu.EnterGate();
        bool found = mmu.TranslateInside(address, access, out physical, out _, out fault);
        if (!found)
        {
            mmu.LeaveGate();
        }

        return found;
    }

    /// <summary>Makes memory accesses as user code until the scope is disposed.</summary>
    public MmuScope UserMode()
    {
        CpuMmu mmu = _cpu.UseMmu();
        MmuScope scope = new(mmu, MmuScope.Kind.UserMode, mmu.InUserMode);
        mmu.SetUserMode(true);
        return scope;
    }

    /// <summary>Lets kernel code touch user pages until the scope is disposed (<c>stac</c>/<c>clac</c>, <c>uaccess_begin()</c>).</summary>
    public MmuScope UserAccess()
    {
        CpuMmu mmu = _cpu.UseMmu();
        MmuScope scope = new(mmu, MmuScope.Kind.UserAccess, mmu.MayTouchUser);
        mmu.SetUserAccess(true);
        return scope;
    }
}

/// <content>Memory of the running process, as kernel code touches it.</content>
public sealed partial class Cpu
{
    /// <summary>Memory of the running process, as kernel code touches it.</summary>
    public CpuUser User { get; internal set; } = null!;
}

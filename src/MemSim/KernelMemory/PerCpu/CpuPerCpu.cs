using System.Runtime.CompilerServices;
using MemSim.Hardware;

namespace MemSim;

/// <summary>Per-CPU variables, from a CPU. <see cref="Cpu.PerCpu"/>.</summary>
public sealed class CpuPerCpu
{
    private readonly Cpu _cpu;

    internal CpuPerCpu(Cpu cpu) => _cpu = cpu;

    // get_cpu_var() nests as deep as preemption may be disabled.
    private ulong[] _heldVars = new ulong[4];

    private int _heldVarCount;

    /// <summary>Allocates an object for every CPU (<c>__alloc_percpu_gfp()</c>); every copy is zeroed.</summary>
    /// <param name="size">Bytes of a copy, 1 to <see cref="PerCpuAllocator.MaxBytes"/>.</param>
    /// <param name="align">Its alignment, a power of two up to a page.</param>
    /// <param name="gfp">What the allocation may do; unless it may do all that <see cref="Gfp.Kernel"/> may, it finds room only where memory is already.</param>
    /// <returns>The pointer, or the null pointer.</returns>
    /// <exception cref="KernelBugException">The size or alignment is illegal, or the request may sleep and the context may not.</exception>
    public PerCpuPointer AllocPercpu(long size, long align, Gfp gfp = Gfp.Kernel) => _cpu.Machine.PerCpu.Alloc(_cpu, size, align, gfp);

    /// <summary>Allocates a variable for every CPU (<c>alloc_percpu()</c>); every copy is zeroed.</summary>
    /// <typeparam name="T">Its type, at most a page large.</typeparam>
    /// <param name="gfp">What the allocation may do.</param>
    /// <returns>The variable, or a null handle.</returns>
    public PerCpuVar<T> AllocPercpu<T>(Gfp gfp = Gfp.Kernel)
        where T : unmanaged => _cpu.Machine.PerCpu.AllocPercpu<T>(_cpu, gfp);

    /// <summary>Frees a per-CPU object (<c>free_percpu()</c>).</summary>
    /// <param name="pointer">The pointer as allocated; the null pointer is ignored.</param>
    /// <exception cref="KernelBugException">No live allocation starts there.</exception>
    public void FreePercpu(PerCpuPointer pointer) => _cpu.Machine.PerCpu.Free(_cpu, pointer);

    /// <summary>Frees a per-CPU variable (<c>free_percpu()</c>).</summary>
    /// <typeparam name="T">Its type.</typeparam>
    /// <param name="variable">The variable as allocated; a null handle is ignored.</param>
    /// <exception cref="KernelBugException">It is not live, or another machine's.</exception>
    public void FreePercpu<T>(PerCpuVar<T> variable)
        where T : unmanaged
    {
        if (!variable.IsNull)
        {
            Own(variable).Free(_cpu, variable.Pointer);
        }
    }

    /// <summary>This CPU's copy of a variable, with preemption off until <see cref="PutCpuVar"/> (<c>get_cpu_var()</c>).</summary>
    /// <typeparam name="T">The variable's type.</typeparam>
    /// <param name="variable">The variable.</param>
    public ref T GetCpuVar<T>(PerCpuVar<T> variable)
        where T : unmanaged
    {
        ref T copy = ref Own(variable).RefTo<T>(variable.Pointer, _cpu.Id);
        _ = _cpu.Context.Enter(ContextKind.Preempt);
        if (_heldVarCount == _heldVars.Length)
        {
            Array.Resize(ref _heldVars, _heldVarCount * 2);
        }

        _heldVars[_heldVarCount++] = variable.Pointer.Value;
        return ref copy;
    }

    /// <summary>Ends the use of a variable that <see cref="GetCpuVar"/> began; preemption is on again after the last (<c>put_cpu_var()</c>).</summary>
    /// <typeparam name="T">The variable's type.</typeparam>
    /// <param name="variable">The variable gotten last.</param>
    /// <exception cref="KernelBugException">It is not the variable gotten last on this CPU.</exception>
    public void PutCpuVar<T>(PerCpuVar<T> variable)
        where T : unmanaged
    {
        _ = Own(variable);
        if (_heldVarCount == 0 || _heldVars[_heldVarCount - 1] != variable.Pointer.Value || _cpu.Context.PreemptDepth == 0)
        {
            BadPut(variable.Pointer);
            return;
        }

        _heldVarCount--;
        _cpu.Context.Leave(ContextKind.Preempt, null, default);
    }

    /// <summary>This CPU's copy of a variable; the code must not be preemptible, or it might go on on another CPU (<c>this_cpu_ptr()</c>).</summary>
    /// <typeparam name="T">The variable's type.</typeparam>
    /// <param name="variable">The variable.</param>
    /// <exception cref="KernelBugException">Preemption and interrupts are on.</exception>
    public ref T ThisCpu<T>(PerCpuVar<T> variable)
        where T : unmanaged
    {
        _ = Own(variable);
        if (!_cpu.Context.InAtomic)
        {
            _cpu.Machine.Bugs.Raise(KernelBugKind.IllegalFlags, $"BUG: using smp_processor_id() in preemptible [{_cpu.Context.PreemptCount:x8}] code: {_cpu.Current.Name}/{_cpu.Current.Pid}",
                $"CPU {_cpu.Id}: this_cpu_ptr({variable.Pointer}): the task may go on on another CPU. Use GetCpuVar and PutCpuVar, or disable preemption.\n");
        }

        return ref Own(variable).RefTo<T>(variable.Pointer, _cpu.Id);
    }

    /// <summary>Any CPU's copy of a variable (<c>per_cpu(var, cpu)</c>); what keeps that CPU away from it is the caller's business.</summary>
    /// <typeparam name="T">The variable's type.</typeparam>
    /// <param name="variable">The variable.</param>
    /// <param name="cpu">The number of the CPU whose copy is wanted.</param>
    public ref T Of<T>(PerCpuVar<T> variable, int cpu)
        where T : unmanaged => ref Own(variable).RefTo<T>(variable.Pointer, cpu);

    private PerCpuAllocator Own<T>(PerCpuVar<T> variable)
        where T : unmanaged =>
        ReferenceEquals(variable.Owner, _cpu.Machine.PerCpu)
            ? _cpu.Machine.PerCpu
            : throw new KernelBugException(KernelBugKind.ForeignAddress, variable.IsNull ? "BUG: kernel NULL pointer dereference: null per-CPU variable" : $"BUG: per-CPU variable {variable.Pointer} belongs to another machine", $"CPU {_cpu.Id}\n");

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void BadPut(PerCpuPointer pointer) =>
        _cpu.Machine.Bugs.Raise(KernelBugKind.IllegalFlags, $"BUG: put_cpu_var({pointer}) without its get_cpu_var()",
            _heldVarCount == 0 ? $"CPU {_cpu.Id} holds no per-CPU variable; preempt depth {_cpu.Context.PreemptDepth}\n" : $"CPU {_cpu.Id} got {new PerCpuPointer(_heldVars[_heldVarCount - 1])} last; preempt depth {_cpu.Context.PreemptDepth}\n");
}

/// <content>Per-CPU variables: allocating them, and this CPU's copies.</content>
public sealed partial class Cpu
{
    /// <summary>Per-CPU variables: allocating them, and this CPU's copies.</summary>
    public CpuPerCpu PerCpu { get; internal set; } = null!;
}

using System.Buffers;
using MemSim.Hardware;
using MemSim.Slab;

namespace MemSim;

/// <summary>A memory pool whose buffers are kmalloc objects of a simulated machine: ordinary .NET code runs on simulated RAM and can be inspected there.</summary>
/// <remarks>Belongs to a CPU, and like it to one thread at a time. A buffer used after it was given back throws, as a dangling pointer should.</remarks>
public sealed class SlabMemoryPool : MemoryPool<byte>
{
    private const int DefaultBytes = 4096;

    private readonly Cpu _cpu;
    private readonly Gfp _gfp;

    /// <summary>Makes a pool.</summary>
    /// <param name="cpu">The CPU on which buffers are allocated and freed; its machine must have contents of RAM.</param>
    /// <param name="gfp">What the allocations may do.</param>
    /// <exception cref="ArgumentException">The machine has no contents of RAM.</exception>
    public SlabMemoryPool(Cpu cpu, Gfp gfp = Gfp.Kernel)
    {
        ArgumentNullException.ThrowIfNull(cpu);
        if (!cpu.Machine.Ram.HasContents)
        {
            throw new ArgumentException("the machine was booted without contents of RAM (MachineSpec.WithoutContents)", nameof(cpu));
        }

        _cpu = cpu;
        _gfp = gfp;
    }

    /// <summary>The largest buffer, the largest object of kmalloc: 4 MiB.</summary>
    public override int MaxBufferSize => SlabRules.MaxSize;

    /// <summary>Allocates a buffer; disposing it frees the object.</summary>
    /// <param name="minBufferSize">Bytes at least; -1 for a page.</param>
    /// <returns>The buffer, as long as its object: <c>ksize()</c> bytes.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The size is 0, or more than <see cref="MaxBufferSize"/>.</exception>
    /// <exception cref="InvalidOperationException">The machine has no memory.</exception>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        int bytes = minBufferSize == -1 ? DefaultBytes : minBufferSize;
        if (bytes <= 0 || bytes > MaxBufferSize)
        {
            throw new ArgumentOutOfRangeException(nameof(minBufferSize), minBufferSize, $"buffers of 1 to {MaxBufferSize} bytes can be had");
        }

        VirtualAddress obj = _cpu.Kmalloc(bytes, _gfp);
        return obj.IsNull ? throw new InvalidOperationException($"the machine has no {bytes} bytes for a buffer") : new Buffer(_cpu, obj, (int)_cpu.Slab.Ksize(obj));
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }

    private sealed class Buffer : MemoryManager<byte>
    {
        private readonly Cpu _cpu;
        private readonly VirtualAddress _obj;
        private readonly int _length;
        private bool _freed;

        public Buffer(Cpu cpu, VirtualAddress obj, int length)
        {
            _cpu = cpu;
            _obj = obj;
            _length = length;
        }

        public override Memory<byte> Memory => CreateMemory(_length);

        public override Span<byte> GetSpan()
        {
            ObjectDisposedException.ThrowIf(_freed, this);
            return SlabContents.Lend(_cpu.Machine, _obj.Value, _length);
        }

        public override MemoryHandle Pin(int elementIndex = 0)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(elementIndex);
            ArgumentOutOfRangeException.ThrowIfGreaterThan(elementIndex, _length);

            return PhysicalMemory.Pin(GetSpan(), elementIndex, this);
        }

        public override void Unpin()
        {
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing && !_freed)
            {
                _freed = true;

                // With the machine all its memory went: Dispose must not throw for that.
                if (!_cpu.Machine.IsDisposed)
                {
                    _cpu.Kfree(_obj);
                }
            }
        }
    }
}
